// Starts Swagger UI on our document. A file of its own, so that the page's policy can refuse inline scripts.
SwaggerUIBundle({ url: "/openapi.json", dom_id: "#swagger", deepLinking: true, persistAuthorization: true });
