"""The bundled model files and their index (`index.json`)."""
