variable "name" {
  type = string
}

variable "word" {
  type = string
}

resource "terraform_data" "text" {
  input = "${var.word}, ${title(var.name)}!"
}

output "text" {
  value = terraform_data.text.output
}
