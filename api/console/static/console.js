// Keeps a part of the page live: the server sends it again, as HTML, when it has changed. Without this script the page
// shows how things were when it was loaded.
"use strict"

const AGAIN_MS = 5000

function follow(part) {
  const events = new EventSource(part.dataset.live)
  events.addEventListener("part", (event) => {
    if (!isInUse(part)) part.innerHTML = event.data
    part.classList.remove("stale")
  })
  events.addEventListener("ended", () => location.reload())
  events.addEventListener("error", () => {
    part.classList.add("stale")
    if (events.readyState === EventSource.CLOSED) setTimeout(follow, AGAIN_MS, part)
  })
}

// What is focused or selected stays as it is: no key press and no copy is lost.
function isInUse(part) {
  const selection = getSelection()
  const selected = selection && !selection.isCollapsed && part.contains(selection.anchorNode)
  return selected || (document.activeElement !== document.body && part.contains(document.activeElement))
}

document.querySelectorAll("[data-live]").forEach(follow)

// The dialogues with a site, from when they are asked for.
const MOST_LINES = 1000

function listen(place) {
  const button = document.createElement("button")
  button.textContent = "Listen"
  place.replaceChildren(button)
  button.addEventListener("click", () => {
    const lines = document.createElement("pre")
    lines.setAttribute("role", "log")
    place.replaceChildren(lines)
    const events = new EventSource(place.dataset.trace)
    events.addEventListener("line", (event) => {
      lines.append(`${event.data}\n`)
      while (lines.childNodes.length > MOST_LINES) lines.firstChild.remove()
    })
    const end = () => {
      events.close()
      lines.append("No longer listening.\n")
      place.append(button)
    }
    events.addEventListener("ended", end)
    events.addEventListener("error", end)
  })
}

document.querySelectorAll("[data-trace]").forEach(listen)
