// SPDX-License-Identifier: Apache-2.0
// Puts the fragments from the server in place, and never shows an outdated page as live.
"use strict";
(() => {
  const SILENT = 4000; // ms without a message until the page is called out of date
  const root = document.documentElement, body = document.body;
  const $ = id => document.getElementById(id);
  let source, offset = 0, heard = 0, tick = 0, shownAt = +body.dataset.at, dead = "", gone = false, waiting;

  root.classList.add("scripted");

  // One parser for all fragments; the server has escaped their content.
  const parse = html => {
    const t = document.createElement("template");
    t.innerHTML = html.trim();
    return t.content.firstElementChild;
  };

  // morph changes only what differs, so that focus, selection and screen readers keep their place.
  const morph = (old, now) => {
    if (old.nodeName !== now.nodeName || old.nodeType !== now.nodeType) return old.replaceWith(now);
    if (old.nodeType !== 1) {
      if (old.data !== now.data) old.data = now.data;
      return;
    }
    const same = old.nodeName === "TIME" && old.dateTime === now.dateTime;
    for (const a of [...old.attributes])
      if (!now.hasAttribute(a.name) && !(same && a.name === "title")) old.removeAttribute(a.name);
    for (const a of now.attributes) if (old.getAttribute(a.name) !== a.value) old.setAttribute(a.name, a.value);
    if (same) return; // this script writes its text
    const was = [...old.childNodes], is = [...now.childNodes];
    is.forEach((n, i) => (i < was.length ? morph(was[i], n) : old.append(n)));
    was.slice(is.length).forEach(n => n.remove());
  };

  const put = (id, html) => {
    const now = parse(html), old = $(id);
    if (!old) return now;
    const state = old.querySelector(".state"), before = state && state.textContent;
    morph(old, now);
    if (old.nodeName === "TR" && before !== old.querySelector(".state").textContent) {
      old.classList.add("fresh");
      setTimeout(() => old.classList.remove("fresh"), 3000);
    }
    return old;
  };

  const units = [[60, "s", 1], [3600, "min", 60], [172800, "h", 3600], [Infinity, "days", 86400]];
  const ago = ms => {
    const s = Math.max(0, ms / 1000);
    if (s < 10) return s.toFixed(s < 3 ? 1 : 0) + " s ago";
    const [, unit, size] = units.find(u => s < u[0]);
    return Math.floor(s / size) + " " + unit + " ago";
  };
  const times = () => {
    const now = Date.now() + offset;
    for (const t of document.querySelectorAll("time[data-live]")) {
      const at = Date.parse(t.dateTime), text = ago(now - at);
      if (t.textContent !== text) t.textContent = text;
      if (!t.title) t.title = new Date(at).toLocaleString();
    }
  };

  const apply = m => {
    const set = m.set || {}, table = $("rows");
    for (const id of Object.keys(set)) if (!id.startsWith("r:")) put(id, set[id]);
    const made = {};
    for (const id of Object.keys(set)) if (id.startsWith("r:")) made[id] = put(id, set[id]);
    if (m.rows && table) {
      const want = new Set(m.rows);
      for (const tr of [...table.children]) if (!want.has(tr.id)) tr.remove();
      m.rows.forEach((id, i) => {
        const tr = $(id) || made[id];
        if (tr && table.children[i] !== tr) table.insertBefore(tr, table.children[i] || null);
      });
    }
    for (const [id, at] of Object.entries(m.heard || {})) {
      const t = $(id) && $(id).querySelector(".c-master time");
      if (t) t.dateTime = new Date(at).toISOString();
    }
    if (m.title) title = m.title;
    if (m.say && $("say")) $("say").textContent = m.say.join(" ");
    if (m.rows && m.rows.length && !table && $("find")) location.reload(); // the first group
  };

  let title = document.title;
  const silence = () => Math.max(Date.now() - heard, performance.now() - tick);
  const judge = () => {
    const quiet = heard && silence(), data = Date.now() + offset - shownAt;
    let why = "";
    const seconds = ms => Math.round(ms / 1000) + " s";
    if (dead) why = "vipd runs but its election loop does not answer: " + dead;
    else if (!heard && performance.now() > SILENT) why = "No update from vipd yet.";
    else if (quiet > SILENT) why = "No update from vipd for " + seconds(quiet) + ": the daemon or the network is down.";
    else if (heard && data > 12000) why = "vipd has not read the node's status for " + seconds(data) + ".";
    if (why) why += " The data below is out of date.";
    if (!!why !== gone) {
      gone = !!why;
      root.classList.toggle("gone", gone);
    }
    root.classList.toggle("is-live", !gone && !!heard);
    document.title = gone ? "✗ out of date – " + title : title;
    if ($("stale-text") && (gone || heard)) {
      const text = gone ? why : "This page is out of date. Reload it.";
      if ($("stale-text").textContent !== text) $("stale-text").textContent = text;
    }
    if ($("live-word")) {
      $("live-word").textContent = gone ? "Out of date, as of" : heard ? "Live" : "As of";
      $("live-at").textContent = new Date(shownAt).toLocaleTimeString();
    }
  };

  const connect = url => {
    if (source) source.close();
    source = new EventSource(url);
    source.onmessage = e => {
      const m = JSON.parse(e.data);
      if (m.build && m.build !== body.dataset.build) return location.reload(); // vipd was replaced
      offset = m.now - Date.now();
      if (m.at) shownAt = m.at;
      dead = m.dead || "";
      apply(m);
      heard = Date.now();
      tick = performance.now();
      root.classList.toggle("beat"); // restarts the animation that greys the page out
      times();
      judge();
    };
    // A browser gives up on an answer that is not a stream, such as a refusal. Then the page retries
    // and reloads, as without the script.
    source.onerror = () => {
      judge();
      if (source.readyState !== 2) return;
      clearTimeout(waiting);
      waiting = setTimeout(async () => {
        try {
          if ((await fetch(location.href, {method: "HEAD"})).ok) return location.reload();
        } catch { /* not reachable */ }
        connect(url);
      }, 3000);
    };
  };
  connect(body.dataset.events);
  times();
  setInterval(() => (times(), judge()), 1000);
  // A tab or machine that slept shows nothing as live before it gets a message.
  const woke = () => {
    if (document.hidden) return;
    judge();
    times();
    if (gone) connect(source.url);
  };
  document.addEventListener("visibilitychange", woke);
  addEventListener("pageshow", woke);
  addEventListener("online", woke);

  const find = $("find");
  if (find) {
    let typing;
    const go = page => {
      const q = new URLSearchParams(new FormData(find));
      if (!q.get("q")) q.delete("q");
      if (q.get("sort") === "config") q.delete("sort");
      if (page > 1) q.set("page", page);
      history.replaceState(null, "", q.size ? "?" + q : location.pathname);
      q.set("view", "status");
      connect("/events?" + q);
    };
    find.addEventListener("submit", e => (e.preventDefault(), go()));
    find.addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(go, 150);
    });
    document.addEventListener("click", e => {
      const a = e.target.closest("#pager a");
      if (!a || e.ctrlKey || e.metaKey || e.shiftKey) return;
      e.preventDefault();
      go(+new URL(a.href).searchParams.get("page") || 1);
      $("t-vips").scrollIntoView();
    });
    if (location.search.includes("flash=")) go(+new URLSearchParams(location.search).get("page") || 1);
  }

  // Controls ask in a dialog instead of a separate page.
  document.addEventListener("click", async e => {
    const a = e.target.closest("a[data-dialog]");
    if (!a || e.ctrlKey || e.metaKey || e.shiftKey) return;
    e.preventDefault();
    let html = "";
    try {
      const r = await fetch(a.href + "&dialog=1");
      if (r.ok && !r.redirected) html = await r.text();
    } catch { /* the separate page shows the error */ }
    if (!html) return void (location.href = a.href);
    const d = document.createElement("dialog"), form = parse(html);
    d.setAttribute("aria-labelledby", "ask-title");
    d.append(form);
    form.addEventListener("submit", () => {
      const b = form.querySelector("button");
      b.disabled = true;
      b.textContent += " …";
    });
    d.addEventListener("click", c => {
      if (c.target === d || c.target.closest("[data-close]")) (c.preventDefault(), d.close());
    });
    d.addEventListener("close", () => {
      d.remove();
      ($(a.id) || a).focus();
    });
    body.append(d);
    d.showModal();
  });
})();
