// @ts-expect-error: docs.html loads Swagger UI, which has no types
SwaggerUIBundle({ url: "openapi.json", dom_id: "#api", deepLinking: true, defaultModelsExpandDepth: 0 });
