// The access token that requests are sent with. It is in this page's memory alone: no storage, no cookie, gone with the tab.

const input = document.getElementById("token");
const note = document.getElementById("token-note");
const forget = document.getElementById("forget");

export function value() {
  return input.value.trim();
}

export function use(token, why) {
  input.value = token;
  note.textContent = why;
  forget.hidden = token === "";
}

input.addEventListener("input", () => use(input.value, ""));
forget.addEventListener("click", () => {
  use("", "Forgotten.");
  input.focus();
});
document.getElementById("session").addEventListener("submit", (event) => event.preventDefault());
