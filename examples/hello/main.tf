# A small real configuration: it needs no provider and no account, only Terraform itself (1.4 or newer, for terraform_data).

terraform {
  required_version = ">= 1.4"
}

variable "names" {
  description = "Who is greeted."
  type        = set(string)
  default     = ["ada", "grace", "linus"]
}

variable "greeting" {
  description = "The word before each name."
  type        = string
  default     = "Hello"
}

module "greeting" {
  source   = "./greeting"
  for_each = var.names

  name = each.key
  word = var.greeting
}

resource "terraform_data" "counter" {
  input = length(var.names)
}

output "greetings" {
  description = "One greeting per name."
  value       = { for name, g in module.greeting : name => g.text }
}

output "count" {
  value = terraform_data.counter.output
}
