// Shows the stream of statuses as it comes, newest on top. Whatever an event says becomes text.
const feed = document.getElementById('feed');
const most = 200;

function line(change) {
  const { event, run } = change;
  const row = document.createElement('p');
  const time = document.createElement('time');
  time.dateTime = event.at;
  time.textContent = new Date(event.at).toLocaleTimeString();
  const link = document.createElement('code');
  link.textContent = run.id;
  const what = document.createElement('b');
  what.textContent = event.type.replaceAll('_', ' ') + (event.data.stage ? ` (${event.data.stage})` : '');
  const rest = document.createElement('span');
  rest.textContent = [run.status.replaceAll('_', ' '), run.pool, event.actor, run.message].filter(Boolean).join(' · ');
  row.append(time, ' ', link, ' ', what, ' ', rest);
  return row;
}

if (feed.dataset.stream) {
  const source = new EventSource(feed.dataset.stream);
  const state = document.getElementById('feed-state');
  source.addEventListener('change', (e) => {
    feed.prepend(line(JSON.parse(e.data)));
    while (feed.children.length > most) feed.lastElementChild.remove();
  });
  source.addEventListener('snapshot', () => { state.textContent = 'Connected. What happens from now on appears here.'; });
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) state.textContent = 'There is no such stream: check the workspace and the pool, or log in again.';
  };
}
