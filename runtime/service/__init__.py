"""HTTP service: a page to draw digits on, picture classification, and the Open Inference Protocol (extra `serve`)."""
