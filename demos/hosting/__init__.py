"""What surrounds the page where others run it: containers, Spaces, proxies."""
