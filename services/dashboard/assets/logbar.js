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
    const text = this.input.value.toLowerCase();
    this.hits = text === '' ? [] : [...this.terminal.element.children].filter((line) => line.textContent.toLowerCase().includes(text));
    for (const line of this.hits) line.classList.add('hit');
    this.at = -1;
    this.step(1);
    if (text === '') this.found.textContent = '';
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
