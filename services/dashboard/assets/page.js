// What every page does in a browser with scripts: times on the reader's clock, forms that ask before they act, keys.
import { localTimes } from './times.js';

// A part that htmx put in needs its times too.
document.body.addEventListener('htmx:load', (e) => localTimes(e.detail.elt));

// Filters act when they change; without scripts there is a button for it.
document.addEventListener('change', (e) => {
  if (e.target.form?.dataset.auto !== undefined && e.target.tagName !== 'INPUT') e.target.form.requestSubmit();
});

// A press of a letter leads to a page, as the title of its link says. Not while somebody types.
document.addEventListener('keydown', (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName)) return;
  if (e.key === '/') {
    const search = document.querySelector('[data-search]');
    if (search) {
      e.preventDefault();
      search.focus();
    }
  } else if (e.key === 'Escape') {
    for (const open of document.querySelectorAll('details.ask[open]')) open.open = false;
  }
});

// Only one question is open at a time.
document.addEventListener('toggle', (e) => {
  if (!e.target.matches?.('details.ask') || !e.target.open) return;
  for (const other of document.querySelectorAll('details.ask[open]')) if (other !== e.target) other.open = false;
  e.target.querySelector('input[type=text], textarea')?.focus();
}, true);

// Of the execution document only the fields of the chosen mode are shown.
const execution = document.getElementById('execution');
if (execution) {
  const mode = execution.elements.execution_mode;
  const show = () => {
    for (const group of execution.querySelectorAll('fieldset[data-for]')) group.hidden = group.dataset.for !== (mode.value || execution.dataset.mode);
  };
  mode.addEventListener('change', show);
  show();
}

// A part that keeps itself up to date waits while somebody has something open in it or selects text, such as an id to copy.
const selecting = (part) => !getSelection().isCollapsed && part.contains(getSelection().anchorNode);
const busy = (part) => part.id === 'live' && (part.querySelector('details.ask[open]') !== null || selecting(part));
document.body.addEventListener('htmx:beforeRequest', (e) => {
  if (busy(e.detail.elt)) e.preventDefault();
});
let focused = null; // address of the link that has the keyboard, in the part that is about to be replaced
document.body.addEventListener('htmx:beforeSwap', (e) => {
  const { target, xhr } = e.detail;
  if (new URL(xhr.responseURL).pathname === '/app/login') { // instead of the part: the session is over
    e.detail.shouldSwap = false;
    location.reload();
  } else if (busy(target)) {
    e.detail.shouldSwap = false;
  } else {
    focused = target.contains(document.activeElement) ? document.activeElement.getAttribute('href') : null;
  }
});
document.body.addEventListener('htmx:afterSwap', () => {
  if (focused) document.querySelector(`main a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  focused = null;
});

// Where nothing tells any more that something changed, the session may be over: the login comes instead of an old page.
document.body.addEventListener('htmx:sseError', async () => {
  const answer = await fetch(location.href, { redirect: 'manual', cache: 'no-store' }).catch(() => null);
  if (answer?.type === 'opaqueredirect') location.reload();
});
