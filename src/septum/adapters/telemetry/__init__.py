"""Where logs and loads of machines are kept, beside the runs."""
