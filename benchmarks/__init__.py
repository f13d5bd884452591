"""How fast is septum, as a ratio to what this machine can do? Programs that print JSON; see README.md."""
