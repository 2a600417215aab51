// Keeps the page of a run up to date: the parts and the timeline by a stream of events, the logs by reading on and on from
// signed addresses that the stream brings.
import { localTimes } from './times.js';
import { Terminal } from './terminal.js';
import { LogBar } from './logbar.js';

const page = document.getElementById('main');
const timeline = document.getElementById('timeline');
const trouble = document.getElementById('trouble');
const logLimit = 512 * 1024;

let source = null;
let seen = Number(page.dataset.seq); // number of the last event in the timeline
let addresses = {}; // of the logs, by phase
let parts = {}; // as the server wants them, by id
const shown = {}; // as they are
const logs = {}; // what was read of each, by phase

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

function say(text) {
  trouble.textContent = text;
  trouble.hidden = text === '';
}

// listen opens the stream. The browser reconnects by itself while it has hope.
function listen() {
  source?.close();
  source = new EventSource(`${page.dataset.stream}?after=${seen}`);
  source.onopen = () => say('');
  source.addEventListener('view', (e) => show(JSON.parse(e.data)));
  source.addEventListener('change', (e) => remember(JSON.parse(e.data)));
  source.addEventListener('end', () => source.close());
  source.onerror = () => {
    say('The connection to the server is lost. Trying again…');
    if (source.readyState === EventSource.CLOSED) refused();
  };
}

// refused finds out why the server gave no stream: the session may be over.
async function refused() {
  await pause(3000);
  const answer = await fetch(location.href, { redirect: 'manual', cache: 'no-store' }).catch(() => null);
  if (answer?.type === 'opaqueredirect') {
    say('Your session is over. Reload the page to log in again.');
    return;
  }
  listen();
}

function show(view) {
  document.title = `${view.title} · Gantry`;
  parts = view.parts;
  fill();
  if (view.logs) addresses = view.logs;
  for (const phase of view.begun ?? []) {
    document.getElementById(phase).hidden = false;
    read(phase);
    describe(phase);
  }
  tick();
}

// fill replaces the parts that are not as they should be, but for those where somebody types or presses a button: they come later.
function fill() {
  for (const [id, html] of Object.entries(parts)) {
    const part = document.getElementById(id);
    if (shown[id] === html || part.matches(':active') || part.querySelector('details[open]')?.contains(document.activeElement)) continue;
    shown[id] = html;
    part.innerHTML = html; // made by the server's templates, which escape; logs never come this way
    localTimes(part);
  }
}

function remember(change) {
  if (change.seq <= seen) return;
  seen = change.seq;
  timeline.insertAdjacentHTML('beforeend', change.html);
  localTimes(timeline.lastElementChild);
}

// read follows the log of a phase to its end. The log is STX, what terraform printed, ETX.
async function read(phase) {
  if (logs[phase]) return;
  const log = logs[phase] = { offset: 0, ended: false, counted: 0, done: 0 };
  const element = document.getElementById(`${phase}-log`);
  const terminal = new Terminal(element, phase);
  const bar = new LogBar(terminal, phase);
  latest(terminal, document.getElementById(`${phase}-latest`));
  while (!log.ended) {
    if (document.hidden) await visible(); // a browser has few connections for all its tabs
    const began = performance.now();
    const bytes = await part(phase, log.offset);
    if (bytes.length === 0) {
      if (performance.now() - began < 1000) await pause(1000);
      continue;
    }
    log.ended = bytes[bytes.length - 1] === 3;
    terminal.write(bytes.subarray(log.offset === 0 ? 1 : 0, log.ended ? -1 : undefined), log.ended);
    log.offset += bytes.length;
    bar.more();
    describe(phase);
    if (phase === 'apply') progress(log, element);
    arrive(phase);
  }
}

// arrive goes to the line that the address names, once it is there.
function arrive(phase) {
  const line = location.hash.startsWith(`#${phase}-L`) && document.getElementById(location.hash.slice(1));
  if (!line || arrived) return;
  arrived = true;
  line.classList.add('chosen');
  line.scrollIntoView({ block: 'center' });
}
let arrived = false;

// progress counts the resources that terraform says it is done with, among those of the plan.
function progress(log, element) {
  const lines = element.children;
  for (; log.counted < lines.length - (log.ended ? 0 : 1); log.counted++) { // the last may not be whole
    if (/: (?:Creation|Modifications|Destruction|Import) complete/.test(lines[log.counted].textContent)) log.done++;
  }
  const total = Number(document.querySelector('#apply-head [data-total]')?.dataset.total ?? 0);
  const bar = document.getElementById('apply-progress');
  bar.parentElement.hidden = total === 0;
  bar.max = Math.max(total, 1);
  bar.value = log.done;
  bar.nextElementSibling.textContent = `${log.done} of ${total} resources`;
}

// describe says below a log what to expect of it.
function describe(phase) {
  const state = document.getElementById(`${phase}-state`);
  const empty = document.getElementById(`${phase}-log`).childElementCount === 0;
  const running = document.querySelector(`#${phase}-head [data-since]`) !== null;
  const live = running && !empty && !logs[phase].ended;
  if (logs[phase].ended) state.textContent = empty ? 'The log is empty.' : '';
  else if (running) state.textContent = empty ? 'Waiting for the first line…' : 'Live';
  else state.textContent = empty ? 'No log yet.' : 'Waiting for the rest of the log…';
  state.classList.toggle('live', live);
}

// part returns the bytes from offset, none when there are no new ones, and does not fail.
async function part(phase, offset) {
  try {
    const answer = await fetch(`${addresses[phase]}?offset=${offset}&limit=${logLimit}&wait=1`, { cache: 'no-store' });
    if (answer.ok) return new Uint8Array(await answer.arrayBuffer());
    if (answer.status < 500) listen(); // the address is too old: a new stream brings new ones
  } catch {
    // The stream tells the reader about lost connections.
  }
  await pause(3000);
  return new Uint8Array();
}

function visible() {
  return new Promise((done) => document.addEventListener('visibilitychange', done, { once: true }));
}

// latest shows the button that leads back to the bottom.
function latest(terminal, button) {
  terminal.element.addEventListener('scroll', () => { button.hidden = terminal.atBottom(); });
  button.addEventListener('click', () => terminal.toBottom());
}

// tick shows how long the phase has been running.
function tick() {
  for (const since of document.querySelectorAll('[data-since]')) {
    const s = Math.max(0, Math.floor((Date.now() - new Date(since.dataset.since)) / 1000));
    const [h, m] = [Math.floor(s / 3600), Math.floor(s / 60) % 60];
    since.textContent = h ? `${h} h ${m} min` : s >= 60 ? `${m} min ${s % 60} s` : `${s} s`;
  }
}

setInterval(() => {
  fill();
  tick();
}, 1000);
listen();
