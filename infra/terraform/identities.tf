# One policy for each party, and a role where it is said who may take it on.

module "policies" {
  source      = "./policies"
  buckets     = { for name, bucket in aws_s3_bucket.this : name => bucket.arn }
  kms_key_arn = var.kms_key_arn
}

resource "aws_iam_policy" "this" {
  for_each    = toset(["sender", "ratchet", "mlflow"])
  name        = "${var.prefix}-${each.key}"
  description = "What ${each.key} needs of Ratchet's buckets, and no more."
  policy      = module.policies.identities[each.key]
  tags        = var.tags
}

resource "aws_iam_role" "this" {
  for_each           = var.trust
  name               = "${var.prefix}-${each.key}"
  assume_role_policy = each.value
  tags               = var.tags
}

resource "aws_iam_role_policy_attachment" "this" {
  for_each   = aws_iam_role.this
  role       = each.value.name
  policy_arn = aws_iam_policy.this[each.key].arn
}
