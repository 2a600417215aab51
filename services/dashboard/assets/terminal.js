// Terminal shows the bytes of a log in an element, with the colors a terminal would give them. Every byte of the log becomes
// text: nothing in it is ever taken for HTML. Other control sequences are dropped.
const sequence = /\x1b(?:\[([0-9;:?]*)[ -/]*([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])/g;
const unfinished = /(?:\x1b(?:\[[0-9;:?]*[ -/]*|\][^\x07\x1b]{0,256}\x1b?)?|\r)$/;
const colors = ['black', 'red', 'green', 'yellow', 'blue', 'magenta', 'cyan', 'white'];

export class Terminal {
  constructor(element, name) {
    this.element = element;
    this.name = name; // begins the ids of its lines
    this.lines = 0;
    this.line = null; // that is not ended
    this.decoder = new TextDecoder(); // keeps a character that is cut in two
    this.rest = ''; // a sequence that is
    this.style = {};
    this.follow = true; // the reader is at the bottom, and stays there
    element.addEventListener('scroll', () => { this.follow = this.atBottom(); });
    new ResizeObserver(() => this.follow && this.toBottom()).observe(element);
  }

  // write appends bytes, and stays at the bottom if that is where the reader is.
  write(bytes, last) {
    let text = this.rest + this.decoder.decode(bytes, { stream: !last });
    this.rest = last ? '' : (text.match(unfinished) || [''])[0];
    text = text.slice(0, text.length - this.rest.length);
    const out = document.createDocumentFragment();
    let from = 0;
    for (const m of text.matchAll(sequence)) {
      this.print(out, text.slice(from, m.index));
      if (m[2] === 'm') this.color(m[1]);
      from = m.index + m[0].length;
    }
    this.print(out, text.slice(from));
    this.element.append(out);
    if (this.follow) this.toBottom();
  }

  // print appends text to the line that is open, and opens another one after each line feed.
  print(out, text) {
    const lines = text.replace(/\r\n?/g, '\n').replace(/[\x00-\x08\x0b-\x1f\x7f]/g, '').split('\n');
    lines.forEach((part, i) => {
      if (i > 0) this.line = null;
      if (part === '' && i === lines.length - 1) return;
      this.line ??= this.open(out);
      const names = Object.values(this.style).filter(Boolean);
      if (names.length === 0) {
        this.line.append(part);
        return;
      }
      const span = document.createElement('span');
      span.className = names.join(' ');
      span.textContent = part;
      this.line.append(span);
    });
  }

  // open begins a line, with a link to itself.
  open(out) {
    this.lines++;
    const line = document.createElement('span');
    line.className = 'line';
    line.id = `${this.name}-L${this.lines}`;
    const link = document.createElement('a');
    link.href = `#${line.id}`;
    link.dataset.n = this.lines;
    link.tabIndex = -1; // thousands of stops are of no use to a keyboard
    link.setAttribute('aria-label', `Line ${this.lines}`);
    line.append(link);
    out.append(line);
    return line;
  }

  color(codes) {
    const list = codes.split(/[;:]/).map(Number);
    for (let i = 0; i < list.length; i++) {
      const n = list[i];
      if (n === 0) this.style = {};
      else if (n === 1) this.style.bold = 'bold';
      else if (n === 2) this.style.dim = 'dim';
      else if (n === 3) this.style.italic = 'italic';
      else if (n === 4) this.style.underline = 'underline';
      else if (n === 22) this.style.bold = this.style.dim = '';
      else if (n === 23) this.style.italic = '';
      else if (n === 24) this.style.underline = '';
      else if (n >= 30 && n <= 37) this.style.front = colors[n - 30];
      else if (n >= 90 && n <= 97) this.style.front = colors[n - 90] + ' bright';
      else if (n === 39) this.style.front = '';
      else if (n === 38 || n === 48) i += list[i + 1] === 5 ? 2 : 4; // one of 256 or of all colors: not shown
    }
  }

  atBottom() {
    const e = this.element;
    return e.scrollHeight - e.scrollTop - e.clientHeight < 32;
  }

  toBottom() {
    this.element.scrollTop = this.element.scrollHeight;
  }
}
