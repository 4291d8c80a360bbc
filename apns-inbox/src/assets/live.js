// Live updates for the inbox. Everything works without it, by reloading; it never makes content of its own:
// on news it fetches this very page again and puts the parts that changed in the place of the old ones.
(() => {
  'use strict'
  const live = document.getElementById('live')
  const parts = ['devices', 'phone', 'push', 'kept', 'bad']
  const say = (state, text) => { live.className = 'live ' + state; live.textContent = text }
  let busy = false, again = false, timer = 0, unseen = 0
  const title = document.title
  const served = new Map(parts.map((id) => [id, document.getElementById(id)?.innerHTML]))

  // What the person is in the middle of stays as it is.
  const engaged = (part) => {
    const focus = document.activeElement
    if (focus && part.contains(focus) && focus.matches('input, select, textarea, button')) return true
    const selection = document.getSelection()
    return Boolean(selection && !selection.isCollapsed && part.contains(selection.anchorNode))
  }
  const opened = (part) => [...part.querySelectorAll('details')].map((one) => one.open)
  const checked = (part) => [...part.querySelectorAll('input[type=radio]:checked')].map((one) => [one.name, one.value])

  // The element itself stays, and with it :target and how far it is scrolled; what is in it is exchanged.
  const swap = (old, fresh) => {
    const text = fresh.innerHTML
    if (served.get(old.id) === text || engaged(old)) return
    const { scrollTop } = old
    const focus = old.contains(document.activeElement) ? document.activeElement.getAttribute('href') : null
    const known = new Set([...old.querySelectorAll('a.card, a.line')].map((one) => one.getAttribute('href')))
    const same = fresh.dataset.seq === old.dataset.seq, open = opened(old), radios = checked(old)
    served.set(old.id, text)
    old.replaceChildren(...fresh.childNodes)
    if (fresh.dataset.seq) old.dataset.seq = fresh.dataset.seq
    const details = [...old.querySelectorAll('details')]
    if (same && details.length === open.length) details.forEach((one, index) => { one.open = open[index] })
    for (const [name, value] of same ? radios : []) {
      const radio = old.querySelector(`input[name="${name}"][value="${value}"]`)
      if (radio) radio.checked = true
    }
    for (const one of old.querySelectorAll('a.card, a.line')) {
      if (known.size && !known.has(one.getAttribute('href'))) one.classList.add('new')
    }
    old.scrollTop = scrollTop
    if (focus) old.querySelector(`a[href="${CSS.escape(focus)}"]`)?.focus({ preventScroll: true })
    dress(old)
  }

  const refresh = async () => {
    if (busy) { again = true; return }
    busy = true
    try {
      const answer = await fetch(location.href, { headers: { accept: 'text/html' } })
      if (!answer.ok) throw new Error(String(answer.status))
      const page = new DOMParser().parseFromString(await answer.text(), 'text/html')
      const panes = document.getElementById('panes')
      if (Boolean(panes) !== Boolean(page.getElementById('panes'))) { location.reload(); return }
      for (const id of parts) {
        const old = document.getElementById(id), fresh = page.getElementById(id)
        if (old && fresh) swap(old, fresh)
      }
    } catch (error) {
      say('off', 'not live: reload')
    } finally {
      busy = false
      if (again) { again = false; soon() }
    }
  }
  // A burst of pushes costs one fetch each 400 ms.
  const soon = () => { if (!timer) timer = setTimeout(() => { timer = 0; refresh() }, 400) }

  const listen = () => {
    const events = new EventSource('events')
    let first = true
    events.addEventListener('open', () => { say('on', 'live'); if (!first) soon(); first = false })
    events.addEventListener('push', () => {
      if (document.hidden) document.title = `(${++unseen}) ${title}`
      soon()
    })
    events.addEventListener('change', soon)
    events.addEventListener('error', () => say('off', events.readyState === EventSource.CLOSED ? 'not live: reload' : 'connecting …'))
    addEventListener('pagehide', () => events.close(), { once: true })
  }

  // Buttons that need a script are hidden until there is one.
  const dress = (root) => {
    for (const button of root.querySelectorAll('[data-copy]')) {
      button.hidden = !navigator.clipboard
      button.onclick = async () => {
        const source = button.dataset.copy.split(' ').map((id) => document.getElementById(id)).find((one) => one && one.offsetParent)
        if (!source) return
        await navigator.clipboard.writeText(source.textContent)
        button.textContent = 'Copied'
        setTimeout(() => { button.textContent = 'Copy' }, 1500)
      }
    }
    for (const select of root.querySelectorAll('.find select')) select.onchange = () => select.form.requestSubmit()
    for (const form of root.querySelectorAll('form[action="clear"]')) {
      form.onsubmit = (event) => { if (!confirm('Clear all pushes?')) event.preventDefault() }
    }
  }

  // Arrow keys walk through pushes, only while one of them has the focus.
  addEventListener('keydown', (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === 'k') {
      const field = document.querySelector('.find input')
      if (!field) return
      event.preventDefault()
      if (!field.offsetParent) location.hash = '#devices'
      field.focus()
      return
    }
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    const here = event.target instanceof Element && event.target.closest('[data-walk] a, .left .row')
    if (!step || !here || event.altKey || event.ctrlKey || event.metaKey) return
    const all = [...here.closest('.pane').querySelectorAll('[data-walk] a, .row')].filter((one) => one.offsetParent)
    const next = all[all.indexOf(here) + step]
    if (!next) return
    event.preventDefault()
    next.focus()
  })

  document.addEventListener('visibilitychange', () => { if (!document.hidden) { unseen = 0; document.title = title } })
  dress(document)
  // The selected push comes into sight in its own pane. Not by scrollIntoView, which would move where Tab begins.
  const pane = document.querySelector('.mid'), chosen = pane?.querySelector('[aria-current="true"].card, [aria-current="true"].line')
  if (chosen && matchMedia('(min-width: 1120px)').matches) {
    const { top, bottom } = chosen.getBoundingClientRect(), room = pane.getBoundingClientRect()
    if (top < room.top || bottom > room.bottom) pane.scrollTop += top - room.top - room.height / 3
  }
  if (new URLSearchParams(location.search).has('still')) document.body.classList.add('flow')
  else if ('EventSource' in window) listen()
})()
