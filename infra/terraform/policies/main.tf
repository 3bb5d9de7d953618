# Who may do what, as documents and nothing else: no provider, so they can be computed and compared
# anywhere. The rights are those of the local stack (infra/local/s3.py); a test holds them together.
#
# | identity | landing     | tables            | artifacts         |
# |----------|-------------|-------------------|-------------------|
# | sender   | write, list |                   |                   |
# | ratchet  | read, list  | read, write, list |                   |
# | mlflow   |             |                   | read, write, list |

variable "buckets" {
  description = "The ARNs of the buckets: landing, tables, artifacts."
  type        = object({ landing = string, tables = string, artifacts = string })
}

variable "kms_key_arn" {
  description = "The key that the buckets are encrypted with; empty: Amazon's own."
  type        = string
  default     = ""
}

locals {
  actions = {
    read    = ["s3:GetObject"]
    write   = ["s3:AbortMultipartUpload", "s3:ListMultipartUploadParts", "s3:PutObject"]
    delete  = ["s3:DeleteObject"]
    tagging = ["s3:DeleteObjectTagging", "s3:GetObjectTagging", "s3:PutObjectTagging"]
  }
  # Who delivers to the landing zone cannot take anything back.
  objects = {
    sender  = { landing = ["write"] }
    ratchet = { landing = ["read"], tables = ["read", "write", "delete", "tagging"] }
    mlflow  = { artifacts = ["read", "write", "delete", "tagging"] }
  }

  identities = {
    for identity, rights in local.objects : identity => jsonencode({
      Version = "2012-10-17"
      Statement = concat(
        [for bucket, names in rights : {
          Sid      = "Objects${title(bucket)}"
          Effect   = "Allow"
          Action   = sort(flatten([for name in names : local.actions[name]]))
          Resource = ["${var.buckets[bucket]}/*"]
        }],
        [{
          Sid      = "List"
          Effect   = "Allow"
          Action   = ["s3:ListBucket"]
          Resource = [for bucket in keys(rights) : var.buckets[bucket]]
        }],
        var.kms_key_arn == "" ? [] : [{
          Sid      = "Key"
          Effect   = "Allow"
          Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
          Resource = [var.kms_key_arn]
        }],
      )
    })
  }

  # For everybody, whatever else allows them: TLS, and not an old one.
  bucket_policies = {
    for bucket, arn in var.buckets : bucket => jsonencode({
      Version = "2012-10-17"
      Statement = [
        {
          Sid       = "OnlyTls"
          Effect    = "Deny"
          Principal = "*"
          Action    = "s3:*"
          Resource  = [arn, "${arn}/*"]
          Condition = { Bool = { "aws:SecureTransport" = "false" } }
        },
        {
          Sid       = "OnlyTls12"
          Effect    = "Deny"
          Principal = "*"
          Action    = "s3:*"
          Resource  = [arn, "${arn}/*"]
          Condition = { NumericLessThan = { "s3:TlsVersion" = "1.2" } }
        },
      ]
    })
  }
}

output "identities" {
  description = "Policy documents of the identities sender, ratchet and mlflow."
  value       = local.identities
}

output "buckets" {
  description = "Policies of the buckets."
  value       = local.bucket_policies
}
