/** What PostgreSQL's uuid type is asked with; anything else names no payment. */
export const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
