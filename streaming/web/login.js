// The dialog that asks for the server's token, and the token that came with the address.

import { sentence } from "/show.js";

/** A dialog on the page. title: what needs the token. enter(token): what to do with one; throws for
 *  a wrong one. Call `showModal` to ask. */
export function loginDialog(title, enter) {
  const dialog = document.createElement("dialog");
  dialog.id = "login";
  dialog.setAttribute("aria-labelledby", "loginTitle");
  dialog.innerHTML = `<form method="dialog"><h2 id="loginTitle"></h2>
    <p>Whoever started Cantar chose one with <code>--token</code>.</p>
    <label for="token">Token</label><input id="token" type="password" autocomplete="current-password" required>
    <p class="wrong" id="wrong" role="alert" hidden></p>
    <button class="primary small" id="enter">Enter</button></form>`;
  dialog.querySelector("h2").textContent = title;
  const wrong = dialog.querySelector("#wrong");
  dialog.querySelector("form").onsubmit = async (event) => {
    event.preventDefault();
    try {
      await enter(dialog.querySelector("#token").value);
      dialog.close();
    } catch (error) {
      wrong.textContent = sentence(error.message || "That is not the token");
      wrong.hidden = false;
    }
  };
  document.body.append(dialog);
  return dialog;
}

/** What stands after #token= in the address, which forgets it; null where nothing does. */
export function tokenOfAddress() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token) history.replaceState(null, "", location.pathname);
  return token;
}
