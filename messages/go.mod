module gantry.example/messages

go 1.26.0
