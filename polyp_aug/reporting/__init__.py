"""One HTML file about a run: what was made from what, pictures, distributions, measurements, provenance."""
