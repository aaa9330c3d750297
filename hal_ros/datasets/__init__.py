"""Episodes and clips: what bags and published datasets become before anything is trained on them."""
