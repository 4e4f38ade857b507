/** Pictures that the user chooses, pastes or drops. */

/**
 * Call a function for each picture that the user chooses, pastes or drops.
 *
 * @param {HTMLInputElement} input the file chooser
 * @param {(picture: File) => void} open
 * @param {(problem: string) => void} fail called if a dropped item is not a picture
 */
export function watchPictures(input, open, fail) {
  input.addEventListener("change", () => {
    const [file] = input.files ?? [];
    input.value = ""; // allows the same file to be chosen again
    if (file) open(file);
  });
  document.addEventListener("paste", (event) => {
    const pasted = firstPicture(event.clipboardData);
    if (!pasted) return;
    event.preventDefault();
    open(pasted);
  });
  for (const kind of ["dragenter", "dragover"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      document.body.classList.add("dropping");
    });
  }
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    const dropped = firstPicture(event.dataTransfer);
    if (dropped) open(dropped);
    else fail("The dropped item is not a picture.");
  });
}

/**
 * @param {DataTransfer | null} transfer
 * @returns {File | null}
 */
function firstPicture(transfer) {
  return [...(transfer?.files ?? [])].find((file) => file.type.startsWith("image/") || !file.type) ?? null;
}
