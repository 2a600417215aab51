# The stock terraform, with Gantry as its cloud: see "HTTPS in three commands" in the README.

terraform {
  cloud {
    hostname     = "localhost:8443"
    organization = "default"
    workspaces { name = "cloud" }
  }
}

resource "terraform_data" "greeting" {
  input = "carried out by the server"
}

output "greeting" {
  value = terraform_data.greeting.output
}
