/** The threads that recover signatures say what the main thread would say, in the order of the questions, and whatever becomes of a thread. */
import fc from 'fast-check'
import secp256k1 from 'secp256k1'
import { afterEach, expect, test } from 'vitest'
import { keccak256 } from '../../execution/keccak.ts'
import { recoverSignatory, type SignedDigest } from '../../execution/recover.ts'
import { createLog } from '../../node/log.ts'
import { createRecoverPool, type RecoverPool } from '../../node/recoverPool.ts'
import { createSlots, readSlot, recoverSlots, writeSlot } from '../../node/recoverSlots.ts'

const log = createLog({ level: 'error', json: false, write() {} })
const pools: RecoverPool[] = []

afterEach(async () => {
  for (const pool of pools.splice(0)) await pool.close()
})

function openPool(threads: number): RecoverPool {
  const pool = createRecoverPool({ threads, log })
  pools.push(pool)
  return pool
}

function signed(number: number): SignedDigest {
  const hash = keccak256(Uint8Array.of(number >> 8, number & 255))
  const { signature, recid } = secp256k1.ecdsaSign(hash, keccak256(hash))
  return { digest: hash, signature: { r: signature.slice(0, 32), s: signature.slice(32), yParity: recid === 1 ? 1 : 0 } }
}

/** Signatures that are none: of a wrong length, out of range, high s, of another hash. */
const bad: SignedDigest[] = [
  { digest: new Uint8Array(32), signature: { r: new Uint8Array(31), s: new Uint8Array(32), yParity: 0 } },
  { digest: new Uint8Array(32), signature: { r: new Uint8Array(32), s: new Uint8Array(32), yParity: 0 } },
  { digest: new Uint8Array(32).fill(1), signature: { r: new Uint8Array(32).fill(255), s: new Uint8Array(32).fill(1), yParity: 1 } },
  { digest: new Uint8Array(32).fill(1), signature: { ...signed(1).signature, s: new Uint8Array(32).fill(0x80) } },
  { digest: new Uint8Array(32).fill(1), signature: signed(1).signature },
]

test('a place in shared memory answers what recovery answers, also where another signature stood before', () => {
  const slots = createSlots()
  for (const one of [signed(1), ...bad, signed(2), ...bad]) {
    writeSlot(slots, 0, one)
    recoverSlots(slots, 1)
    expect(readSlot(slots, 0)).toEqual(recoverSignatory(one))
  }
})

test('any bytes: as on the main thread', () => {
  const slots = createSlots()
  const bytes = fc.uint8Array({ minLength: 32, maxLength: 32 })
  fc.assert(
    fc.property(bytes, bytes, bytes, fc.boolean(), (hash, r, s, odd) => {
      const one: SignedDigest = { digest: hash, signature: { r, s, yParity: odd ? 1 : 0 } }
      writeSlot(slots, 3, one)
      recoverSlots(slots, 4)
      expect(readSlot(slots, 3)).toEqual(recoverSignatory(one))
    }),
  )
})

test.each([1, 2])('%i threads: many questions of every size, answered whole and in their order', async (threads) => {
  const { recover } = openPool(threads)
  const sizes = [1, 0, 2, 700, 1, 3, 255, 256, 257, 1, 40]
  const questions = sizes.map((size, n) => [...Array.from({ length: size }, (_, i) => signed(n * 1_000 + i)), ...(size === 3 ? bad : [])])
  const order: number[] = []
  const answers = await Promise.all(
    questions.map(async (question, n) => {
      const found = await recover(question)
      if (question.length > 0) order.push(n)
      return found
    }),
  )
  expect(answers).toEqual(questions.map((question) => question.map(recoverSignatory)))
  expect(order).toEqual([...order].sort((a, b) => a - b))
})

test('closed in the middle, and afterwards: every question is answered still', async () => {
  const pool = openPool(1)
  const question = Array.from({ length: 600 }, (_, i) => signed(i))
  const asked = pool.recover(question)
  await new Promise((resolve) => setImmediate(resolve))
  await pool.close()
  expect(await asked).toEqual(question.map(recoverSignatory))
  expect(await pool.recover([signed(7)])).toEqual([recoverSignatory(signed(7))])
})

test('without a thread the main thread does it', async () => {
  const { recover } = openPool(0)
  expect(await recover([signed(1), ...bad])).toEqual([signed(1), ...bad].map(recoverSignatory))
})
