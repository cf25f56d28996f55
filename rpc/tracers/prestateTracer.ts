/**
 * `prestateTracer`: accounts and slots that a transaction touches, as they were before it; with `diffMode`, those that it changed, before and after.
 * What the ledger holds is not in it: tributary_getRecord answers that at any block.
 * Source: go-ethereum, eth/tracers/native/prestate.go. Spec: docs/spec/rpc.md#debug
 */
import type { Hex } from 'viem'
import { assert } from '../../execution/assert.ts'
import { touchedBy } from '../../execution/watcher.ts'
import type { LiveState, Tracer } from '../chain.ts'
import { hexOf } from '../format.ts'
import { type Json, quantity } from '../quantity.ts'
import type { TraceBudget } from './traceBudget.ts'

export type PrestateTracerConfig = { readonly diffMode: boolean; readonly disableCode: boolean; readonly disableStorage: boolean }

type Seen = ReturnType<LiveState['account']> & { readonly storage: Map<Hex, Hex> }

const NO_SLOT: Hex = `0x${'00'.repeat(32)}`
/** What an account takes of an answer, and a slot. */
const [ACCOUNT_BYTES, SLOT_BYTES] = [160, 140]

/** A tracer of what was there before. */
export function createPrestateTracer(config: PrestateTracerConfig, budget: TraceBudget): Tracer {
  const before = new Map<Hex, Seen>()
  /** Contracts that were made where nothing was; what each open frame is going to make. */
  const created = new Set<Hex>()
  const open: (Hex | undefined)[] = []
  let state: LiveState | undefined
  let shown: Json = {}

  function lookAt(address: Hex): Seen {
    const known = before.get(address)
    if (known) return known
    assert(state, 'a transaction begins before it runs')
    const seen = { ...state.account(address), storage: new Map<Hex, Hex>() }
    budget.spend(ACCOUNT_BYTES + (config.disableCode ? 0 : 2 * seen.code.length))
    before.set(address, seen)
    return seen
  }

  function lookAtSlot(address: Hex, slot: Hex): void {
    const { storage } = lookAt(address)
    if (storage.has(slot) || config.disableStorage) return
    assert(state, 'a transaction begins before it runs')
    budget.spend(SLOT_BYTES)
    storage.set(slot, state.slot(address, slot))
  }

  return {
    begin({ call, touched, state: live }) {
      state = live
      for (const address of [call.from, ...(call.to ? [call.to] : []), ...touched]) lookAt(address)
    },
    enter({ kind, to }) {
      const seen = lookAt(to)
      const isCreation = kind === 'CREATE' || kind === 'CREATE2'
      open.push(isCreation && isNothing(seen) ? to : undefined)
    },
    exit({ error }) {
      const made = open.pop()
      if (made !== undefined && error === undefined) created.add(made)
    },
    step(step) {
      const touched = touchedBy(step)
      if (touched === undefined) return
      if ('slot' in touched) lookAtSlot(step.address, touched.slot)
      else lookAt(touched.address)
    },
    finish({ state: live }) {
      shown = config.diffMode ? difference(before, live, config) : everything(before, created, config)
    },
    result: () => shown,
  }
}

function everything(before: ReadonlyMap<Hex, Seen>, created: ReadonlySet<Hex>, config: PrestateTracerConfig): Json {
  // What the transaction made itself was not there.
  const shown = [...before].filter(([address, seen]) => !(created.has(address) && isNothing(seen) && seen.storage.size === 0))
  return Object.fromEntries(shown.map(([address, seen]) => [address, toJson(seen, config)]))
}

function difference(before: ReadonlyMap<Hex, Seen>, state: LiveState, config: PrestateTracerConfig): Json {
  const pre: Record<Hex, Json> = {}
  const post: Record<Hex, Json> = {}
  for (const [address, was] of before) {
    const is = state.account(address)
    const slots = [...was.storage]
      .map(([slot, value]) => ({ slot, was: value, is: state.slot(address, slot) }))
      .filter((one) => one.was !== one.is)
    const isSame = was.balance === is.balance && was.nonce === is.nonce && hexOf(was.code) === hexOf(is.code) && slots.length === 0
    if (isSame) continue
    const storageBefore = new Map(slots.filter((one) => one.was !== NO_SLOT).map((one) => [one.slot, one.was]))
    if (!isNothing(was)) pre[address] = toJson({ ...was, storage: storageBefore }, config)
    // What is gone altogether has no afterwards.
    if (isNothing(is)) continue
    const changed = slots.filter((one) => one.is !== NO_SLOT)
    post[address] = {
      ...(was.balance !== is.balance && { balance: quantity(is.balance) }),
      ...(was.nonce !== is.nonce && { nonce: Number(is.nonce) }),
      ...(!config.disableCode && hexOf(was.code) !== hexOf(is.code) && { code: hexOf(is.code) }),
      ...(changed.length > 0 && { storage: Object.fromEntries(changed.map((one) => [one.slot, one.is])) }),
    }
  }
  return { pre, post }
}

function toJson({ balance, nonce, code, storage }: Seen, { disableCode }: PrestateTracerConfig): Json {
  return {
    balance: quantity(balance),
    ...(nonce > 0n && { nonce: Number(nonce) }),
    ...(!disableCode && code.length > 0 && { code: hexOf(code) }),
    ...(storage.size > 0 && { storage: Object.fromEntries(storage) }),
  }
}

function isNothing({ balance, nonce, code }: Pick<Seen, 'balance' | 'nonce' | 'code'>): boolean {
  return balance === 0n && nonce === 0n && code.length === 0
}
