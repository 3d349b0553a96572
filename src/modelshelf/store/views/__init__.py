"""Views: their records, and the folders of the programs that read them."""
