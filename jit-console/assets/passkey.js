// Asks the authenticator for what the page's form is about, and sends its answer with the form.
"use strict";
(() => {
  const form = document.querySelector("form[data-passkey]");
  const failed = document.getElementById("passkey-failed");
  const bytes = (text) =>
    Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  const text = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer)))
      .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

  const options = () => {
    const { publicKey } = JSON.parse(form.dataset.options);
    publicKey.challenge = bytes(publicKey.challenge);
    if (publicKey.user) publicKey.user.id = bytes(publicKey.user.id);
    for (const list of [publicKey.allowCredentials, publicKey.excludeCredentials]) {
      for (const known of list ?? []) known.id = bytes(known.id);
    }
    return { publicKey };
  };

  const answered = ({ id, rawId, type, response }) => {
    const said = { clientDataJSON: text(response.clientDataJSON) };
    if (response.attestationObject) {
      said.attestationObject = text(response.attestationObject);
    } else {
      said.authenticatorData = text(response.authenticatorData);
      said.signature = text(response.signature);
      said.userHandle = response.userHandle ? text(response.userHandle) : null;
    }
    return JSON.stringify({ id, rawId: text(rawId), type, response: said });
  };

  let asking = false;
  const ask = async () => {
    if (asking) return;
    asking = true;
    failed.hidden = true;
    try {
      const made = await navigator.credentials[form.dataset.passkey](options());
      form.elements.answer.value = answered(made);
      form.submit();
    } catch {
      failed.hidden = false;
      asking = false;
    }
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask();
  });
  if (form.dataset.atOnce) ask();
})();
