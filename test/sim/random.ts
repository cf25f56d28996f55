/** Chance and time of a simulated network, from one seed. */

/** Numbers from 0 up to 1 (mulberry32): the same seed, the same numbers. */
export type Random = () => number

export function createRandom(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** One of them. */
export function pick<T>(random: Random, from: readonly T[]): T | undefined {
  return from[Math.floor(random() * from.length)]
}

export type Schedule = {
  add(atMs: number, act: () => void): void
  next(): { readonly atMs: number; readonly act: () => void } | undefined
}

/** A queue of things to happen, by time and then by order of asking. */
export function createSchedule(): Schedule {
  const heap: { atMs: number; order: number; act: () => void }[] = []
  let order = 0
  const before = (a: number, b: number) => {
    const [x, y] = [heap[a], heap[b]]
    return x !== undefined && y !== undefined && (x.atMs - y.atMs || x.order - y.order) < 0
  }
  const swap = (a: number, b: number) => {
    const [x, y] = [heap[a], heap[b]]
    if (x !== undefined && y !== undefined) [heap[a], heap[b]] = [y, x]
  }
  return {
    add(atMs, act) {
      heap.push({ atMs, order: order++, act })
      for (let i = heap.length - 1; i > 0 && before(i, (i - 1) >> 1); i = (i - 1) >> 1) swap(i, (i - 1) >> 1)
    },
    next() {
      const first = heap[0]
      const last = heap.pop()
      if (first === undefined || last === undefined) return undefined
      if (heap.length > 0) heap[0] = last
      for (let i = 0; ; ) {
        let least = i
        for (const child of [2 * i + 1, 2 * i + 2]) if (before(child, least)) least = child
        if (least === i) return first
        swap(i, least)
        i = least
      }
    },
  }
}
