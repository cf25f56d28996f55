/**
 * The door for transaction bytes: what is decoded encodes to the very same bytes, so that no transaction has two hashes, and no bytes make it throw.
 * The native types' own forms are in test/execution/native/native.test.ts. Spec: docs/spec/transactions.md#types
 */
import { type NestedUint8Array, RLP } from '@ethereumjs/rlp'
import fc from 'fast-check'
import { type Hex, hexToBytes, keccak256, type TransactionSerializable, toHex } from 'viem'
import { signAuthorization } from 'viem/accounts'
import { expect, test } from 'vitest'
import { encodeDeposit } from '../../execution/deposit.ts'
import { commonOf } from '../../execution/ethereumRules.ts'
import { encodeNative } from '../../execution/native/native.ts'
import { transfer } from '../../execution/native/transfer.ts'
import { encodeReport } from '../../execution/report.ts'
import { decodeEthereumTx, decodeTx, type Tx } from '../../execution/tx.ts'
import { DEVNET_PARAMS } from '../../genesis/devnet.ts'
import { EVIDENCE_BYTES, SYSTEM_SENDER } from '../../genesis/params.ts'
import { addressOf, signNative, testAccounts, testKeys } from '../fakes/testChain.ts'

const { chainId } = DEVNET_PARAMS
const common = commonOf(chainId)
const [alice] = testAccounts
const [key] = testKeys
if (!alice || !key) throw new Error('there are accounts')
const TO: Hex = `0x${'ab'.repeat(20)}`
const ACCESS = [{ address: TO, storageKeys: [`0x${'01'.repeat(32)}` as Hex] }]

/** One of each type, by its first byte. */
const SAMPLES: Readonly<Record<string, Uint8Array>> = await samples()

async function samples(): Promise<Record<string, Uint8Array>> {
  const call = { chainId, nonce: 5, gas: 200_000n, to: TO, value: 7n, data: '0x00ff' as const }
  const fees = { maxFeePerGas: 100n, maxPriorityFeePerGas: 1n, accessList: ACCESS }
  const authorization = await signAuthorization({ privateKey: key ?? '0x', contractAddress: TO, chainId, nonce: 3 })
  const ethereum: Record<string, TransactionSerializable> = {
    legacy: { ...call, type: 'legacy', gasPrice: 100n },
    '0x01': { ...call, type: 'eip2930', gasPrice: 100n, accessList: ACCESS },
    '0x02': { ...call, type: 'eip1559', ...fees },
    '0x04': { ...call, type: 'eip7702', ...fees, authorizationList: [authorization] },
  }
  const signed = await Promise.all(
    Object.entries(ethereum).map(async ([name, tx]) => [name, hexToBytes((await alice?.signTransaction(tx)) ?? '0x')] as const),
  )
  const deposit = {
    sourceHash: keccak256('0x'),
    from: TO,
    to: TO,
    mintWei: 0n,
    valueWei: 5n,
    gas: 30_000n,
    isSystem: false,
    data: '0x01' as const,
  }
  return {
    ...Object.fromEntries(signed),
    '0x50': await signNative(alice ?? testAccounts[0] ?? fail(), {
      type: transfer,
      fields: { kind: 0, to: TO, amount: 9n },
      nonce: 1n,
      chainId,
    }),
    '0x5a': encodeReport({ evidence: new Uint8Array(EVIDENCE_BYTES).map((_, i) => i) }),
    '0x7e': encodeDeposit(deposit),
  }
}

function fail(): never {
  throw new Error('there are accounts')
}

/** The bytes of a decoded transaction, made anew from what was read. */
function encode(tx: Tx): Uint8Array {
  if (tx.kind === 'ethereum') return tx.tx.serialize()
  if (tx.kind === 'report') return encodeReport(tx.report)
  return tx.kind === 'native' ? encodeNative(tx.native) : encodeDeposit(tx.deposit)
}

/** Nothing that decoding takes may have another form; nothing may make it throw. */
function decodesToItself(raw: Uint8Array): boolean {
  const decoded = decodeTx(raw, common)
  if (!decoded.ok) return false
  expect(toHex(encode(decoded.tx))).toBe(toHex(raw))
  expect(decoded.tx.hash).toBe(keccak256(raw))
  return true
}

test('one of each type is decoded, says who sent it, and encodes to the same bytes', () => {
  for (const [name, raw] of Object.entries(SAMPLES)) {
    const decoded = decodeTx(raw, common)
    if (!decoded.ok) throw new Error(`${name}: ${decoded.code}`)
    expect(decodesToItself(raw)).toBe(true)
    expect(decoded.tx.sender).toBe({ '0x5a': SYSTEM_SENDER, '0x7e': TO }[name] ?? addressOf(alice))
  }
})

test('arbitrary bytes behind any first byte never throw', () => {
  const bytes = fc.tuple(fc.nat(255), fc.uint8Array({ maxLength: 200 })).map(([first, rest]) => Uint8Array.of(first, ...rest))
  fc.assert(
    fc.property(bytes, (raw) => void decodesToItself(raw)),
    { numRuns: 2_000 },
  )
})

test('bytes changed, moved, cut off or added never throw, and what is still taken has one encoding', () => {
  const change = fc.record({ name: fc.constantFrom(...Object.keys(SAMPLES)), at: fc.nat(400), byte: fc.nat(255), how: fc.nat(3) })
  fc.assert(
    fc.property(change, ({ name, at, byte, how }) => {
      const raw = Uint8Array.from(SAMPLES[name] ?? [])
      const place = at % raw.length
      if (how === 0) raw[place] = byte
      const changed = [
        raw,
        raw.slice(0, place),
        Uint8Array.of(...raw, byte),
        Uint8Array.of(...raw.slice(0, place), byte, ...raw.slice(place)),
      ][how]
      decodesToItself(changed ?? raw)
    }),
    { numRuns: 1_500 },
  )
})

/** A field, or a field within a field, in a form that says the same or is of another kind. */
const LOOSE: Readonly<Record<string, (item: Item) => Item | undefined>> = {
  'a zero before a number': (item) => (item instanceof Uint8Array && item.length < 20 ? Uint8Array.of(0, ...item) : undefined),
  'a list for bytes': (item) => (item instanceof Uint8Array ? [item] : undefined),
  'bytes, each an item of a list': (item) =>
    item instanceof Uint8Array && item.length > 0 ? Array.from(item, (byte) => Uint8Array.of(byte)) : undefined,
  'nothing for a list': (item) => (item instanceof Uint8Array ? undefined : new Uint8Array()),
  'a list for nothing': (item) => (item instanceof Uint8Array && item.length === 0 ? [] : undefined),
  'one item more': (item) => (item instanceof Uint8Array ? undefined : [...item, new Uint8Array()]),
}
type Item = Uint8Array | NestedUint8Array

/** Every way to change one item of the tree. */
function* changed(item: Item, change: (item: Item) => Item | undefined): Generator<Item> {
  const own = change(item)
  if (own !== undefined) yield own
  if (item instanceof Uint8Array) return
  for (const [i, child] of item.entries()) for (const other of changed(child, change)) yield item.with(i, other) as NestedUint8Array
}

test('no item of a transaction may be written in another way', () => {
  let tried = 0
  for (const [name, raw] of Object.entries(SAMPLES)) {
    if (name === '0x5a') continue // it has no items
    const type = name === 'legacy' ? new Uint8Array() : raw.slice(0, 1)
    const items = RLP.decode(raw.slice(type.length)) as NestedUint8Array
    for (const [what, change] of Object.entries(LOOSE)) {
      for (const other of changed(items, change)) {
        tried++
        const bytes = Uint8Array.of(...type, ...RLP.encode(other))
        // A change may make another transaction, by another sender; it has to be one that has this encoding alone.
        expect({ name, what, taken: decodesToItself(bytes) && isSame(bytes, raw) }).toEqual({ name, what, taken: false })
      }
    }
  }
  expect(tried).toBeGreaterThan(200)
})

/** Whether both are by one sender: by the same content, then. */
function isSame(a: Uint8Array, b: Uint8Array): boolean {
  const [first, second] = [decodeTx(a, common), decodeTx(b, common)]
  return first.ok && second.ok && first.tx.kind !== 'deposit' && first.tx.sender === second.tx.sender
}

test('a chain id with a zero before it, and a string for an empty access list, are refused with a valid signature, too', async () => {
  const call = { chainId, nonce: 5, gas: 200_000n, to: TO, maxFeePerGas: 100n, maxPriorityFeePerGas: 1n, type: 'eip1559' } as const
  const raw = hexToBytes((await alice?.signTransaction(call)) ?? '0x')
  const items = RLP.decode(raw.slice(1)) as Uint8Array[]
  expect(decodeTx(raw, common).ok).toBe(true)
  const padded = RLP.encode(items.with(0, Uint8Array.of(0, ...(items[0] ?? []))))
  expect(decodeTx(Uint8Array.of(2, ...padded), common)).toMatchObject({ ok: false, code: 'malformedTransaction' })
  const stringed = RLP.encode(items.with(8, new Uint8Array()))
  expect(decodeTx(Uint8Array.of(2, ...stringed), common)).toMatchObject({ ok: false, code: 'malformedTransaction' })
})

test('blob transactions are Ethereum’s and not ours', () => {
  const raw = Uint8Array.of(3, ...RLP.encode([]))
  expect(decodeTx(raw, common)).toMatchObject({ ok: false, code: 'blobTransaction' })
  expect(decodeEthereumTx(raw, common)).toMatchObject({ ok: false, code: 'malformedTransaction' })
})
