output "buckets" {
  description = "Names of the buckets."
  value       = { for name, bucket in aws_s3_bucket.this : name => bucket.bucket }
}

output "policies" {
  description = "ARNs of the policies, by identity."
  value       = { for name, policy in aws_iam_policy.this : name => policy.arn }
}

output "roles" {
  description = "ARNs of the roles, by identity: for the annotations of the chart's service accounts."
  value       = { for name, role in aws_iam_role.this : name => role.arn }
}

output "settings" {
  description = "What Ratchet and MLflow are told."
  value = {
    RATCHET_ROOT    = "s3://${aws_s3_bucket.this["tables"].bucket}"
    RATCHET_LANDING = "s3://${aws_s3_bucket.this["landing"].bucket}"
    ARTIFACTS       = "s3://${aws_s3_bucket.this["artifacts"].bucket}"
  }
}
