"""What becomes of ready-made pictures: labels beside those of a bare node, and a recording beside a plain write."""
