/**
 * How a generation ended, and what it cost.
 *
 * @since 0.1.0
 */
export * as Finish from "./Finish.js"

/**
 * What to generate: the options of a generation and the requests of the Task API, as Schemas.
 *
 * @since 0.1.0
 */
export * as Generation from "./Generation.js"

/**
 * What RWKV-Server does, endpoint by endpoint.
 *
 * @since 0.1.0
 */
export * as HttpClient from "./HttpClient.js"

/**
 * The Schedules behind waiting and retrying.
 *
 * @since 0.1.0
 */
export * as Polling from "./Polling.js"

/**
 * What RWKV-Server answers: a Schema for every response and every frame of a stream.
 *
 * @since 0.1.0
 */
export * as Protocol from "./Protocol.js"

/**
 * Everything wired: one layer for all services.
 *
 * @since 0.1.0
 */
export * as RWKV from "./RWKV.js"

/**
 * Where the server is and how to speak to it.
 *
 * @since 0.1.0
 */
export * as RWKVConfig from "./RWKVConfig.js"

/**
 * Every way an operation can fail.
 *
 * @since 0.1.0
 */
export * as RWKVError from "./RWKVError.js"

/**
 * Text as it is generated: complete, each piece once.
 *
 * @since 0.1.0
 */
export * as StreamService from "./StreamService.js"

/**
 * The handle of one task, and the options of its verbs.
 *
 * @since 0.1.0
 */
export * as Task from "./Task.js"

/**
 * Tasks: create them, wait for them, stop, delete, continue and fork them.
 *
 * @since 0.1.0
 */
export * as TaskService from "./TaskService.js"

/**
 * What operators see: names, metrics and hooks.
 *
 * @since 0.2.0
 */
export * as Telemetry from "./Telemetry.js"
