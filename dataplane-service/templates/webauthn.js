"use strict";
// Asks the person's authenticator for what the form says, and sends its answer with the form.
(() => {
  const form = document.getElementById("webauthn");
  const known = window.PublicKeyCredential;
  if (!known || !known.parseCreationOptionsFromJSON || !known.parseRequestOptionsFromJSON) return;
  const answer = form.elements.namedItem("credential");
  const problem = document.getElementById("webauthn-problem");
  form.hidden = false;
  document.querySelectorAll(".without-webauthn").forEach((element) => { element.hidden = true; });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    problem.hidden = true;
    try {
      const options = JSON.parse(form.dataset.options).publicKey;
      const credential = form.dataset.kind === "create"
        ? await navigator.credentials.create({ publicKey: known.parseCreationOptionsFromJSON(options) })
        : await navigator.credentials.get({ publicKey: known.parseRequestOptionsFromJSON(options) });
      answer.value = JSON.stringify(credential.toJSON());
      form.submit();
    } catch {
      problem.hidden = false;
    }
  });
})();
