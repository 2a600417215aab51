# Prints a line a second during the apply: for watching a live log, and for cancelling a run in the middle.

variable "seconds" {
  description = "How long the apply takes."
  type        = number
  default     = 20
}

resource "terraform_data" "slow" {
  input = var.seconds

  provisioner "local-exec" {
    command = "i=1; while [ $i -le ${var.seconds} ]; do echo \"second $i of ${var.seconds}\"; i=$((i + 1)); sleep 1; done"
  }
}

output "seconds" {
  value = terraform_data.slow.output
}
