"""Everything on embedded parts, with made-up but realistic runs."""
