variable "prefix" {
  description = "Begins the name of every bucket, policy and role; bucket names are worldwide."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,40}[a-z0-9]$", var.prefix))
    error_message = "Expected 3 to 42 lower-case letters, digits and hyphens."
  }
}

variable "kms_key_arn" {
  description = "A KMS key for the buckets; empty: Amazon's own keys (AES256)."
  type        = string
  default     = ""
}

variable "retention_days" {
  description = "How long nobody can remove or replace a version of what landed and of what MLflow keeps."
  type        = object({ landing = number, artifacts = number })
  default     = { landing = 90, artifacts = 365 }
  validation {
    condition     = min(values(var.retention_days)...) >= 1
    error_message = "Expected at least one day."
  }
}

variable "retention_mode" {
  description = "GOVERNANCE: a person with s3:BypassGovernanceRetention can; COMPLIANCE: nobody can."
  type        = string
  default     = "GOVERNANCE"
  validation {
    condition     = contains(["GOVERNANCE", "COMPLIANCE"], var.retention_mode)
    error_message = "Expected GOVERNANCE or COMPLIANCE."
  }
}

variable "noncurrent_days" {
  description = "How long replaced or deleted versions are kept, beyond any lock."
  type        = number
  default     = 30
  validation {
    condition     = var.noncurrent_days >= 1
    error_message = "Expected at least one day."
  }
}

variable "trust" {
  description = "Who may take on an identity (sender, ratchet, mlflow): the trust policy of its role, as JSON. An identity that is left out gets a policy and no role."
  type        = map(string)
  default     = {}
  validation {
    condition     = length(setsubtract(keys(var.trust), ["sender", "ratchet", "mlflow"])) == 0
    error_message = "Expected identities among sender, ratchet, mlflow."
  }
}

variable "tags" {
  description = "On everything."
  type        = map(string)
  default     = {}
}
