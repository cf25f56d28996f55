import { Account, createAddressFromString } from '@ethereumjs/util'
import type { Hex } from 'viem'
import { expect, test } from 'vitest'
import { VOID_ROOTS } from '../../execution/genesisBlock.ts'
import { addBalance, getAccount } from '../../execution/ledger/tables.ts'
import { createState, readerAtRoots } from '../../execution/state.ts'
import { createMemoryStore } from '../fakes/memoryStore.ts'

const ALICE: Hex = `0x${'aa'.repeat(20)}`
const SLOT: Hex = `0x${'01'.repeat(32)}`

function open() {
  const store = createMemoryStore()
  return { store, state: createState(store.reader, VOID_ROOTS) }
}

test('a revert undoes accounts, slots, code, ledger and operations of the frame, and nothing else', async () => {
  const { state } = open()
  state.putAccount(ALICE, new Account(1n, 10n))
  addBalance(state.ledger, ALICE, 5n)
  state.checkpoint()
  state.putAccount(ALICE, new Account(2n, 20n))
  state.putSlot(ALICE, SLOT, Uint8Array.of(7))
  state.putCode(ALICE, Uint8Array.of(0x60))
  addBalance(state.ledger, ALICE, 100n)
  state.checkpoint()
  state.putSlot(ALICE, SLOT, Uint8Array.of(8))
  state.commit()
  state.revert()
  expect(state.account(ALICE).balance).toBe(10n)
  expect(state.account(ALICE).nonce).toBe(1n)
  expect(state.slot(ALICE, SLOT)).toEqual(new Uint8Array())
  expect(await state.manager.getCode(createAddressFromString(ALICE))).toEqual(new Uint8Array())
  expect(getAccount(state.ledger, ALICE).balance).toBe(5n)
})

test('what was reverted leaves no trace in the roots', () => {
  const clean = open().state
  clean.putAccount(ALICE, new Account(1n, 10n))
  const { state } = open()
  state.putAccount(ALICE, new Account(1n, 10n))
  state.checkpoint()
  state.putSlot(ALICE, SLOT, Uint8Array.of(7))
  addBalance(state.ledger, ALICE, 100n)
  state.revert()
  expect(state.seal().roots).toEqual(clean.seal().roots)
})

test('an older root is read as it was, and a state can go back to it', () => {
  const { store, state } = open()
  state.putAccount(ALICE, new Account(1n, 10n))
  state.putSlot(ALICE, SLOT, Uint8Array.of(7))
  addBalance(state.ledger, ALICE, 5n)
  const first = state.seal()
  store.write(first.writes)
  state.putSlot(ALICE, SLOT, Uint8Array.of(9))
  addBalance(state.ledger, ALICE, 1n)
  const second = state.seal()
  store.write(second.writes)
  expect(second.roots).not.toEqual(first.roots)
  const old = createState(readerAtRoots(store.reader, first.roots), first.roots)
  expect(old.slot(ALICE, SLOT)).toEqual(Uint8Array.of(7))
  expect(getAccount(old.ledger, ALICE).balance).toBe(5n)
  old.putSlot(ALICE, SLOT, Uint8Array.of(9))
  addBalance(old.ledger, ALICE, 1n)
  expect(old.seal().roots).toEqual(second.roots)
})

test('a discarded block leaves the state where it was', () => {
  const { store, state } = open()
  state.putAccount(ALICE, new Account(1n, 10n))
  const first = state.seal()
  store.write(first.writes)
  state.putAccount(ALICE, new Account(1n, 99n))
  state.putSlot(ALICE, SLOT, Uint8Array.of(1))
  state.seal()
  state.reset(first.roots)
  expect(state.account(ALICE).balance).toBe(10n)
  expect(state.slot(ALICE, SLOT)).toEqual(new Uint8Array())
  expect(state.seal().roots).toEqual(first.roots)
})

test('an account that is deleted loses its storage for good, also when it is made again in the same block', async () => {
  const { store, state } = open()
  const address = createAddressFromString(ALICE)
  state.putAccount(ALICE, new Account(1n, 10n))
  for (let i = 1; i <= 20; i++) state.putSlot(ALICE, `0x${i.toString(16).padStart(64, '0')}`, Uint8Array.of(i))
  store.write(state.seal().writes)
  await state.manager.deleteAccount(address)
  state.putAccount(ALICE, new Account(1n, 1n))
  state.putSlot(ALICE, SLOT, Uint8Array.of(5))
  const { roots, writes } = state.seal()
  store.write(writes)
  const fresh = open().state
  fresh.putAccount(ALICE, new Account(1n, 1n))
  fresh.putSlot(ALICE, SLOT, Uint8Array.of(5))
  expect(roots).toEqual(fresh.seal().roots)
  const again = createState(store.reader, roots)
  expect(again.slot(ALICE, `0x${'3'.padStart(64, '0')}`)).toEqual(new Uint8Array())
  expect(again.slot(ALICE, SLOT)).toEqual(Uint8Array.of(5))
})
