"""What an app author imports. `septum` re-exports it; the modules here import nothing heavy until they are used."""
