# 500 resources: a long log, a large plan and a state of some size, without a provider.

variable "number" {
  description = "How many resources."
  type        = number
  default     = 500
}

resource "terraform_data" "item" {
  count = var.number
  input = "item ${count.index}"
}

output "last" {
  value = terraform_data.item[var.number - 1].output
}
