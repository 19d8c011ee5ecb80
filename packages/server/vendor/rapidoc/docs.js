// Shows the API's description with the key that the dashboard may have been given in this tab already.
const KEY_NAME = 'cloister.key';
const form = document.getElementById('sign-in');
const doc = document.querySelector('rapi-doc');

async function show(key) {
  const response = await fetch('/openapi.json', { headers: { 'x-api-key': key } });
  const body = await response.json();
  if (!response.ok) throw new Error(body.error.message);
  sessionStorage.setItem(KEY_NAME, key);
  form.hidden = true;
  doc.hidden = false;
  await customElements.whenDefined('rapi-doc');
  doc.loadSpec(withoutErrorBodies(body));
}

/** Errors all have one form, and repeating it for each answer of each operation takes the page many seconds. */
function withoutErrorBodies(description) {
  for (const operations of Object.values(description.paths))
    for (const { responses } of Object.values(operations))
      for (const [status, response] of Object.entries(responses)) if (Number(status) >= 400) delete response.content;
  return description;
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  show(document.getElementById('key').value.trim()).catch((error) => {
    document.getElementById('problem').textContent = error.message;
  });
});

const known = sessionStorage.getItem(KEY_NAME);
const begin = known === null ? Promise.reject(new Error('')) : show(known);
begin.catch(() => {
  form.hidden = false;
});
