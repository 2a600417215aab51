// LogBar is what one can do with a log: find text in it, follow its end.
export class LogBar {
  constructor(terminal, phase) {
    this.terminal = terminal;
    this.bar = document.getElementById(`${phase}-bar`);
    this.bar.hidden = false;
    this.input = this.bar.querySelector('input');
    this.found = this.bar.querySelector('.found');
    this.hits = [];
    this.at = -1;
    this.looked = 0; // lines that were searched
    this.input.addEventListener('input', () => this.search());
    this.input.addEventListener('keydown', (e) => {
      if (e.key === 'Enter') {
        e.preventDefault();
        this.step(e.shiftKey ? -1 : 1);
      } else if (e.key === 'Escape') {
        this.input.value = '';
        this.search();
      }
    });
    this.bar.querySelector('[data-next]').addEventListener('click', () => this.step(1));
    this.bar.querySelector('[data-previous]').addEventListener('click', () => this.step(-1));
    const follow = this.bar.querySelector('[data-follow]');
    const show = () => follow.setAttribute('aria-pressed', String(terminal.follow));
    follow.addEventListener('click', () => {
      terminal.follow = !terminal.follow;
      if (terminal.follow) terminal.toBottom();
      show();
    });
    terminal.element.addEventListener('scroll', show);
    show();
  }

  // search marks the lines that have the text, in any case.
  search() {
    for (const line of this.hits) line.classList.remove('hit', 'here');
    this.hits = [];
    this.at = -1;
    this.looked = 0;
    this.more();
    if (this.input.value === '') this.found.textContent = '';
    else if (this.hits.length === 0) this.found.textContent = 'not found';
  }

  // more searches the lines that came since. The reader stays where they are, unless nothing was found before.
  more() {
    const text = this.input.value.toLowerCase();
    if (text === '') return;
    const lines = this.terminal.element.children;
    for (let i = Math.max(0, this.looked - 1); i < lines.length; i++) { // the last one may have been half a line
      const line = lines[i];
      if (line.classList.contains('hit') || !line.textContent.toLowerCase().includes(text)) continue;
      line.classList.add('hit');
      this.hits.push(line);
    }
    this.looked = lines.length;
    if (this.hits.length === 0) return;
    if (this.at < 0) this.step(1);
    else this.found.textContent = `${this.at + 1} of ${this.hits.length}`;
  }

  step(by) {
    if (this.hits.length === 0) {
      this.found.textContent = 'not found';
      return;
    }
    this.hits[this.at]?.classList.remove('here');
    this.at = (this.at + by + this.hits.length) % this.hits.length;
    this.terminal.follow = false;
    this.hits[this.at].classList.add('here');
    this.hits[this.at].scrollIntoView({ block: 'nearest' });
    this.found.textContent = `${this.at + 1} of ${this.hits.length}`;
  }
}
