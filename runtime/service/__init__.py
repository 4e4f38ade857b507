"""The service: digits read over HTTP, on a page to draw on and by the Open Inference Protocol; extra `serve`."""
