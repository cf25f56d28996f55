/** 0x…0a16 knows P-384 signatures, and whoever fills the port of curves answers like everybody else. */
import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import { p256, p384 } from '@noble/curves/nist.js'
import fc from 'fast-check'
import { concat, decodeFunctionResult, encodeFunctionData, type Hex, hexToBytes, numberToHex, pad, slice, stringToHex, toHex } from 'viem'
import { expect, test } from 'vitest'
import { p384VerifierAbi } from '../../execution/native/doorAbi.ts'
import { OPENSSL_CURVES } from '../../node/opensslCurves.ts'
import { createP384Verifier } from '../../precompiles/0a16-p384.ts'
import { type Curves, type EcdsaClaim, PURE_CURVES } from '../../precompiles/curves.ts'
import { callIn, createEmptyLedger } from './frame.ts'

const NATIVE = createP384Verifier(OPENSSL_CURVES)

type Numbers = readonly [r: Hex, s: Hex, x: Hex, y: Hex]

/** RFC 6979, appendix A.2.6: a key, and its signatures with SHA-384. */
const KEY = [
  '0xec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5286b300c64def8f0ea9055866064a254515480bc13',
  '0x8015d9b72d7d57244ea8ef9ac0c621896708a59367f9dfb9f54ca84b3f1c9db1288b231c3ae0d4fe7344fd2533264720',
] as const
const SIGNED: readonly { readonly text: string; readonly numbers: Numbers }[] = [
  {
    text: 'sample',
    numbers: [
      '0x94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c81a648152e44acf96e36dd1e80fabe46',
      '0x99ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94fa329c145786e679e7b82c71a38628ac8',
      ...KEY,
    ],
  },
  {
    text: 'test',
    numbers: [
      '0x8203b63d3c853e8d77227fb377bcf7b7b772e97892a80f36ab775d509d7a5feb0542a7f0812998da8f1dd3ca3cf023db',
      '0xddd0760448d42d8a43af45af836fce4de8be06b485e9b61b827c2f13173923e06a739f040649a667bf3b828246baa5a5',
      ...KEY,
    ],
  },
]

function askMessage(message: Hex, numbers: Numbers, verifier = NATIVE): boolean {
  const data = encodeFunctionData({ abi: p384VerifierAbi, functionName: 'p384verifyMessage', args: [message, ...numbers] })
  return answer('p384verifyMessage', data, verifier)
}

function askHash(hash: Hex, numbers: Numbers): boolean {
  return answer('p384verify', encodeFunctionData({ abi: p384VerifierAbi, functionName: 'p384verify', args: [hash, ...numbers] }), NATIVE)
}

function answer(functionName: 'p384verify' | 'p384verifyMessage', data: Hex, verifier: typeof NATIVE): boolean {
  const { result } = callIn(createEmptyLedger(), verifier, hexToBytes(data), { isStatic: true })
  if (result.kind !== 'return') throw new Error(`the verifier answered ${result.kind}`)
  return decodeFunctionResult({ abi: p384VerifierAbi, functionName, data: toHex(result.output) })
}

const hashOf = (text: string): Hex => toHex(createHash('sha384').update(text).digest())

test('the signatures of RFC 6979 are those of their messages and hashes, and of no others', () => {
  for (const { text, numbers } of SIGNED) {
    expect([askMessage(stringToHex(text), numbers), askHash(hashOf(text), numbers)]).toEqual([true, true])
    expect([askMessage(stringToHex(`${text}.`), numbers), askHash(hashOf(`${text}.`), numbers)]).toEqual([false, false])
  }
})

const ORDER = p384.Point.Fn.ORDER
const PRIME = p384.Point.Fp.ORDER
const hex48 = (value: bigint): Hex => numberToHex(value, { size: 48 })

test('what is out of range, off the curve or of another width is no signature, and never reverts', () => {
  const [first] = SIGNED
  if (!first) throw new Error('there is no signature')
  const [r, s, x, y] = first.numbers
  const wrong: readonly Numbers[] = [
    ...[0n, ORDER, ORDER + 1n, 2n ** 384n - 1n].flatMap((value): Numbers[] => [
      [hex48(value), s, x, y],
      [r, hex48(value), x, y],
    ]),
    [r, s, x, x],
    [r, s, hex48(0n), hex48(0n)],
    [r, s, hex48(PRIME), y],
    [r, s, hex48(2n ** 384n - 1n), y],
    ['0x', s, x, y],
    [r, slice(s, 1), x, y],
    [r, s, pad(x, { size: 49 }), y],
    [r, s, x, concat([y, '0x00'])],
  ]
  for (const numbers of wrong) {
    expect([askMessage(stringToHex('sample'), numbers), askHash(hashOf('sample'), numbers)]).toEqual([false, false])
  }
  expect(askHash(slice(hashOf('sample'), 0, 32), first.numbers)).toBe(false)
})

test('both signatures that a key can derive from one are taken: there is no rule of low s', () => {
  const [first] = SIGNED
  if (!first) throw new Error('there is no signature')
  const [r, s, x, y] = first.numbers
  expect(askMessage(stringToHex('sample'), [r, hex48(ORDER - BigInt(s)), x, y])).toBe(true)
})

type Curve = { readonly name: keyof Curves; readonly bytes: number; readonly order: bigint; readonly prime: bigint }

const CURVES: readonly Curve[] = [
  { name: 'p256', bytes: 32, order: p256.Point.Fn.ORDER, prime: p256.Point.Fp.ORDER },
  { name: 'p384', bytes: 48, order: ORDER, prime: PRIME },
]
const NAMED = { p256: ['P-256', 'sha256'], p384: ['P-384', 'sha384'] } as const

/** A good claim, one of its numbers replaced by what is hard to get right. */
const hardClaims = fc
  .record({
    curve: fc.constantFrom(...CURVES),
    message: fc.uint8Array({ maxLength: 200 }),
    at: fc.integer({ min: -1, max: 3 }),
    kind: fc.constantFrom('zero', 'one', 'order', 'orderLessOne', 'prime', 'primeMore', 'ones', 'flip', 'complement'),
    flip: fc.nat(),
  })
  .map(({ curve, message, at, kind, flip }): Curve & { readonly claim: EcdsaClaim } => {
    const [namedCurve, hash] = NAMED[curve.name]
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve })
    const signature = new Uint8Array(sign(hash, message, { key: privateKey, dsaEncoding: 'ieee-p1363' }))
    const { x = '', y = '' } = publicKey.export({ format: 'jwk' })
    const key = new Uint8Array(Buffer.concat([Buffer.from(x, 'base64url'), Buffer.from(y, 'base64url')]))
    const target = at < 2 ? signature : key
    const number = target.subarray((at & 1) * curve.bytes, ((at & 1) + 1) * curve.bytes)
    const { order, prime, bytes } = curve
    const value = BigInt(toHex(number))
    const other: Record<string, bigint> = {
      ...{ zero: 0n, one: 1n, order, orderLessOne: order - 1n, prime, primeMore: (value + prime) % 2n ** BigInt(8 * bytes) },
      ...{
        ones: 2n ** BigInt(8 * bytes) - 1n,
        flip: value ^ (1n << BigInt(flip % (8 * bytes))),
        complement: at < 2 ? order - value : prime - value,
      },
    }
    if (at >= 0) number.set(hexToBytes(numberToHex(other[kind] ?? 0n, { size: bytes })))
    return { ...curve, claim: { message, signature, key } }
  })

test('OpenSSL and JavaScript say the same of every claim', () => {
  let good = 0
  const property = fc.property(hardClaims, ({ name, claim }) => {
    const verdict = OPENSSL_CURVES[name](claim)
    good += Number(verdict)
    expect(PURE_CURVES[name](claim)).toBe(verdict)
    for (const cut of [claim.signature.subarray(1), new Uint8Array()]) {
      expect([OPENSSL_CURVES[name]({ ...claim, signature: cut }), PURE_CURVES[name]({ ...claim, signature: cut })]).toEqual([false, false])
    }
  })
  fc.assert(property, { numRuns: 150 })
  expect(good).toBeGreaterThan(10)
})

test('the verifier answers alike over either', () => {
  for (const { text, numbers } of SIGNED) expect(askMessage(stringToHex(text), numbers, createP384Verifier(PURE_CURVES))).toBe(true)
})
