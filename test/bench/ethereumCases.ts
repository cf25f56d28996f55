/**
 * Ethereum's precompiles as our VM runs them, which is in JavaScript where Node has nothing native: the dearest of the reference vectors for their gas,
 * and inputs that are known to be bad. Gas is that of our chain, a multiple of Ethereum's (execution/ethereumPrices.ts).
 */
import secp256k1 from 'secp256k1'
import { concatBytes, type Hex, hexToBytes, numberToHex, pad } from 'viem'
import { VOID_ROOTS } from '../../execution/genesisBlock.ts'
import { kzgContext } from '../../execution/kzg.ts'
import { sha256 } from '../../execution/sha256.ts'
import { createState } from '../../execution/state.ts'
import { createVm, type Vm } from '../../execution/vm.ts'
import { readLines } from '../conformance/vectors.ts'
import { createMemoryStore } from '../fakes/memoryStore.ts'
import { CALLER, ENV, PARAMS } from '../precompiles/frame.ts'
import { seeded, signer } from './operations.ts'
import type { PrecompileCase } from './precompileCases.ts'

const GAS = 1_000_000_000_000n
const VECTORS = 'precompiles.jsonl.gz'

/** Reference vectors by the end of their id, the calls of a round, and the precompile's name. */
const FROM_VECTORS: readonly (readonly [address: number, name: string, vector: string, calls: number])[] = [
  [0x05, 'modexp', 'marcin-2-base-heavy', 150],
  [0x05, 'modexp', 'nagydani-1-qube', 2_000],
  [0x05, 'modexp', 'mod-32-exp-128', 1_000],
  [0x06, 'bn254 add', 'cdetrio8', 1_500],
  [0x06, 'bn254 add', 'cdetrio12', 1_500],
  [0x07, 'bn254 mul', 'chfast2', 30],
  [0x08, 'bn254 pairing', 'jeff4', 4],
  [0x08, 'bn254 pairing', 'one_point', 6],
  [0x0b, 'BLS G1 add', 'matter_g1_add_3', 50],
  [0x0c, 'BLS G1 msm', 'bls_g1mul_random*p1', 25],
  [0x0c, 'BLS G1 msm', 'g1msm-128-jwasinger', 1],
  [0x0d, 'BLS G2 add', 'matter_g2_add_2', 25],
  [0x0e, 'BLS G2 msm', 'bls_g2mul_random*p2_unnormalized_scalar', 10],
  [0x0e, 'BLS G2 msm', 'g2msm-17-jwasinger', 1],
  [0x0f, 'BLS pairing', 'matter_pairing_1', 8],
  [0x0f, 'BLS pairing', 'bls_pairing_e(2*G1,3*G2)=e(6*G1,G2)', 5],
  [0x10, 'BLS map to G1', 'matter_fp_to_g1_2', 30],
  [0x11, 'BLS map to G2', 'matter_fp2_to_g2_0', 15],
]

/** Bases, exponents and moduli of these many bytes, all ones but for the modulus's last bit but one. */
function modexp(base: number, exponent: number, modulus: number): Uint8Array {
  const lengths = [base, exponent, modulus].map((length) => hexToBytes(numberToHex(length, { size: 32 })))
  const ones = (length: number) => new Uint8Array(length).fill(0xff)
  const last = ones(modulus)
  last[modulus - 1] = 0xfd
  return concatBytes([...lengths, ones(base), ones(exponent), last])
}

function recovery(): Uint8Array {
  const hash = seeded('recovery')
  const { signature, recid } = secp256k1.ecdsaSign(hash, signer('recovery', 0).secret)
  return concatBytes([hash, hexToBytes(numberToHex(27 + recid, { size: 32 })), signature])
}

/** Rounds of BLAKE2 over a block of nothing. Source: EIP-152. */
function blake2(rounds: number): Uint8Array {
  const input = new Uint8Array(213)
  input.set(hexToBytes(numberToHex(rounds, { size: 4 })))
  return input
}

/** A proof for a blob that is nothing special. Source: EIP-4844, point_evaluation_precompile. */
function pointEvaluation(): Uint8Array {
  const context = kzgContext()
  const blob = new Uint8Array(131_072)
  for (let i = 0; i < 4_096; i++) blob.set(seeded(`element ${i}`).subarray(0, 30), 32 * i + 2)
  const z = new Uint8Array(32)
  z[31] = 3
  const commitment = context.blobToKzgCommitment(blob)
  const [proof = new Uint8Array(), y = new Uint8Array()] = context.computeKzgProof(blob, z)
  const versioned = sha256(commitment)
  versioned[0] = 1
  return concatBytes([versioned, z, y, commitment, proof])
}

/** A good signature of Wycheproof's: one that fails early costs nothing. */
const P256_VECTOR = 'SHA-256 #60: special case hash'

const MADE: readonly (readonly [address: number, name: string, make: () => Uint8Array, calls: number])[] = [
  [0x01, 'ecrecover', recovery, 1_000],
  [0x02, 'sha256 of 64 KiB', () => new Uint8Array(65_536).fill(1), 150],
  [0x03, 'ripemd160 of 64 KiB', () => new Uint8Array(65_536).fill(1), 80],
  [0x05, 'modexp, 32 bytes each', () => modexp(32, 32, 32), 500],
  [0x05, 'modexp, 40 bytes by 32', () => modexp(40, 32, 40), 500],
  [0x05, 'modexp, 1,024 bytes by 1', () => modexp(1_024, 1, 1_024), 200],
  [0x09, 'blake2f, 50,000 rounds', () => blake2(50_000), 4],
  [0x09, 'blake2f, no round', () => blake2(0), 3_000],
  [0x0a, 'point evaluation', pointEvaluation, 50],
]

/** Every case of Ethereum's precompiles. */
export async function readEthereumCases(): Promise<readonly PrecompileCase[]> {
  const inputs = new Map<string, Uint8Array>()
  for await (const line of readLines(VECTORS)) {
    const { id, address, input, rule, expect } = JSON.parse(line) as {
      readonly id: string
      readonly address: number
      readonly input: Hex
      readonly rule?: string
      readonly expect: object
    }
    const vector = id.slice(id.indexOf('::') + 2)
    if (rule !== undefined && rule !== 'eip7883') continue
    inputs.set(`${address} ${vector}`, hexToBytes(input))
    if (vector.includes(P256_VECTOR) && 'output' in expect) inputs.set(`${address} ${P256_VECTOR}`, hexToBytes(input))
  }
  const found = [...FROM_VECTORS, [0x100, 'P-256', P256_VECTOR, 25] as const].map(([address, name, vector, calls]) => {
    const input = inputs.get(`${address} ${vector}`)
    if (!input) throw new Error(`there is no vector ${vector}`)
    return ethereumCase({ address, name: `${name}, ${vector}`, calls, make: () => input })
  })
  return [...MADE.map(([address, name, make, calls]) => ethereumCase({ address, name, calls, make })), ...found]
}

type Made = { readonly address: number; readonly name: string; readonly calls: number; readonly make: () => Uint8Array }

function ethereumCase({ address, name, calls, make }: Made): PrecompileCase {
  const to = pad(numberToHex(address), { size: 20 })
  return {
    name: `${address.toString(16).padStart(2, '0')} ${name.replace(/:$/, '')}`,
    address: to,
    calls,
    answer: undefined,
    async prepare(count) {
      const vm = await vmOfNothing()
      const data = make()
      return Array.from({ length: count }, () => async () => {
        const { gasUsed, exception, output } = await vm.simulate({ from: CALLER, to, valueWei: 0n, data, gas: GAS, gasPriceWei: 0n }, ENV)
        if (exception !== undefined) throw new Error(`${name}: ${exception}`)
        return { gas: gasUsed, answer: BigInt(output === '0x' ? 0 : output.slice(0, 66)) }
      })
    },
  }
}

let made: Promise<Vm> | undefined

function vmOfNothing(): Promise<Vm> {
  const state = createState(createMemoryStore().reader, VOID_ROOTS)
  made ??= createVm({ state, params: PARAMS, precompiles: [], blockHash: () => undefined })
  return made
}

/** A call that does nothing: what the VM takes for each, and what is taken off where calls go through it. */
export const IDLE_CASE: PrecompileCase = ethereumCase({
  address: 0x04,
  name: 'identity of nothing',
  calls: 5_000,
  make: () => new Uint8Array(),
})
