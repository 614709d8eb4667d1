"""The watch: which runs there are, which of them have ended, and which got their stop line late."""
