# The plan succeeds and the apply fails half way: "before" is created and stays in the state, "broken" is tainted, "after" is
# never tried.

resource "terraform_data" "before" {
  input = "created"
}

resource "terraform_data" "broken" {
  depends_on = [terraform_data.before]

  provisioner "local-exec" {
    command = "echo this provisioner fails on purpose >&2; exit 3"
  }
}

resource "terraform_data" "after" {
  depends_on = [terraform_data.broken]
}
