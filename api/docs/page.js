// Shows the OpenAPI document with Swagger UI, and puts the typed key on each request.
"use strict";

// "/" for /docs, and "/prefix/" behind a proxy that adds a prefix to the path.
const root = new URL(".", document.baseURI);
const field = document.getElementById("key");
const SCHEMES = ["key", "operator"];

function show(spec) {
  spec.servers = [{ url: root.href.replace(/\/$/, "") }];
  const ui = SwaggerUIBundle({
    spec,
    dom_id: "#ui",
    deepLinking: true,
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
    filter: true,
    persistAuthorization: false,
    tryItOutEnabled: true,
    validatorUrl: null, // no other site is asked
  });
  let authorized = false;
  const authorize = () => {
    const key = field.value.trim();
    if (authorized) ui.authActions.logout(SCHEMES);
    if (key) SCHEMES.forEach((scheme) => ui.preauthorizeApiKey(scheme, key));
    authorized = key !== "";
  };
  field.addEventListener("input", authorize);
  authorize(); // a key may have been typed before the document was there
}

function fail(error) {
  const note = document.createElement("p");
  note.className = "note";
  note.textContent = `The document could not be loaded: ${error.message}`;
  document.getElementById("ui").replaceChildren(note);
}

document.getElementById("key-form").addEventListener("submit", (event) => event.preventDefault());
fetch(new URL("schema/openapi.json", root))
  .then((answer) => {
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    return answer.json();
  })
  .then(show)
  .catch(fail);
